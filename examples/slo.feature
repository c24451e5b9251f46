Feature: The cluster serves its users
  As a platform team
  I want promises about the API server that are checked against what Prometheus recorded
  So that nobody has to look at dashboards to know

  @platform
  Scenario: The API server answers
    When observing for 20 seconds
    Then API server availability should be at least 99.9%
    And API server latency of "GET" should be below 1 second
    And share of kubelets that answer should stay above 90%
