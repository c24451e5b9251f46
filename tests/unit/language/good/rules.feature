@team-a
Feature: Rules and tags
  Anything may stand here.

  Background:
    Given the LLM system is running
    And the following model configurations:
      | sequence_length | model_size | batch_size |
      | 128             | small      | 4          |

  @sampling
  Rule: Interactive use
    Background:
      Given a model of size "small"

    @p50
    Scenario: Half of all steps are quick
      When sampling 100 tokens
      Then p50 latency should stay below 5ms
      But the throughput should not be less than 1000 tokens/s

    Scenario Outline: Rows carry tags of their examples (<percentile>)
      Given a batch size of <batch>
      When sampling <tokens> tokens
      Then <percentile> latency should be at most <limit>

      @quick
      Examples: quick
        | batch | tokens | percentile | limit  |
        | 1     | 10     | p90        | 2 ms   |

      @slow @nightly
      Examples: slow
        | batch | tokens | percentile | limit  |
        | 8     | 1000   | p99.9      | 0.5 s  |
        | 16    | 1000   | p99.9      | 500000 µs |

  Rule: Time to the first token
    Example: One
      Given a model of size 'small'
      When sampling 1 token
      Then p95 time to first token must be less than 2 seconds
      And p95 TPOT must not exceed 1 minute
