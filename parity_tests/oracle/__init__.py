"""Source graphs evaluated in numpy float64 from each operator's definition, independent of the conversion rules."""
