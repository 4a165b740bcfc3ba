"""The race: fastnn and whatever peers are installed, doing the same job in turn."""
