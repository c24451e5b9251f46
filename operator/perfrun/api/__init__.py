"""The custom resources as frozen values; everything else in perfrun may import this layer, and it imports none."""

GROUP = "perfrun.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
