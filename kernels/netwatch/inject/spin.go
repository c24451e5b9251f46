package inject

// Spin is the subcommand of a child process that keeps processors busy.
const Spin = "spin"

func RunSpin(string) error { return nil }
