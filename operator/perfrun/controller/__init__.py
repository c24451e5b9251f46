"""The only kopf code: handlers wake a key and decide nothing."""
