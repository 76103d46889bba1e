"""Storage on other machines: its addresses, its faults, and what is asked of its servers."""
