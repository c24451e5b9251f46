Feature: Syntax
  Scenario: A
    Given a batch size of 1
      | a | b |
      | c |
    oops
  @tag with space
  Scenario: B
    Then x
      """
      never closed
