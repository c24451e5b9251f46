"""Feature text → scenarios: the official parser around a vocabulary that capabilities contribute."""
