"""Layers for anybody's model: recurrent cells, their recurrences, convolutions, pooling and masks."""
