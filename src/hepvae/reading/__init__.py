"""From what people type to ragged jets."""
