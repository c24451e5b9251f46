Feature: Words that nobody knows
  Scenario: Undefined
    Given a modl of size "small"
    And something else entirely
    When sampling 100 tokens
    Then p99 latncy should be below 10 ms
    And p99 latency shuld be below 10 ms
    And happiness should exceed 10%
    And p100 latency should be below 10 ms

  Scenario: Under the wrong keyword
    Given sampling 10 tokens
    When p99 latency should be below 10 ms
    Then a batch size of 3

  Scenario: Belongs nowhere
    Then throughput should exceed 10 tokens per second

  Scenario: Of two minds
    Given a pretrained transformer model
    When processing multiple batches concurrently
    Then cache hit rate should exceed 90%
