Feature: Outlines
  Background:
    Given a cluster of <kind> nodes

  Scenario Outline: Placeholders
    Given a "<profil>" workload profile
    When traffic increases by <factor>x
    Then load difference should be less than <diff>%

    Examples:
      | profile | factor | diff |
      | light   | 2      | 10   |

  Scenario: No examples
    Given a "<profile>" workload profile
    Then load difference should be less than 10%

  Scenario Outline: No rows
    Then load difference should be less than <diff>%

    Examples:
      | diff | diff |

  Scenario Outline: Rows with the same mistake
    When observing for <time>
    Then load difference should be less than <diff>%

    Examples:
      | time | diff |
      | 1 s  | ten  |
      | 1 s  | 10   |
      | 1 lb | ten  |
