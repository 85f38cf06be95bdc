"""Live connections by alias: what a call asks for, which channels are open, who shares them, when they close."""
