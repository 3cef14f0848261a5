"""What every layer stands on: a module, what it holds, its files, its parameters."""
