"""Pretrained weights from elsewhere: read without running code, renamed by tables, compared before anything changes."""
