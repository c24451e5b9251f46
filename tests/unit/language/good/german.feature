# language: de
Funktionalität: Auf Deutsch
  Nur die Schlüsselwörter werden übersetzt.

  Szenario: Ausfall
    Angenommen a distributed system with 3 nodes
    Wenn 1 node fails
    Dann remaining nodes should rebalance within 1 minute
    Und throughput should stay above 50% of normal
    * no requests should be dropped during failover
