"""Where an emulator and the embedded AWS differ, and what says that the embedded AWS is right."""

DIFFERENCES = {}
