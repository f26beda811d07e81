"""The same script on the embedded AWS and on emulators this project did not write."""
