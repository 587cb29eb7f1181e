"""What a run is: its options, their names and ranges, and the flags made from them. Imports no TensorFlow."""
