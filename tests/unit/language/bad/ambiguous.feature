Feature: Two meanings
  Scenario: Nothing settles it
    Then cache hit rate should exceed 10%
