"""Released files, their readers and schemas, and the embedded tables computed from them."""
