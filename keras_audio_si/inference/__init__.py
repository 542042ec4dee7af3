"""Scores of trained models: patches of clips, tags of files, tables of tags."""
