Feature: Named metrics
  Scenario: On their own
    When observing for 5 minutes
    Then checkout error ratio should stay below 0.1%
    And error ratio of "check \"out\"" should stay below 0.5%
    And the request rate of "a" on 'b' should exceed 100 requests per second
    And free memory (heap/total) should be at least 512 MiB
    And drift should remain above -3 ms

  Scenario: Beside another capability
    Given a distributed system with 3 nodes
    When 1 node fails
    Then throughput should remain above 80% of normal
    And checkout error ratio should be below 0.01

  Scenario: Without any action
    Then checkout error ratio should be below 2x
