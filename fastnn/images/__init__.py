"""Pictures in files: one by one, and folders of them. ``fastnn.utils`` offers what is public."""
