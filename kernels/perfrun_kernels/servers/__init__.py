"""What servers of language models say of themselves: their metrics by name and version, read and compared."""
