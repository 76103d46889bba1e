"""From ragged jets to the input of a network."""
