"""From what a user passes to ``fit`` to the sources that the engine reads."""
