"""What the chapters and the command compute beyond one fit, one module a question."""
