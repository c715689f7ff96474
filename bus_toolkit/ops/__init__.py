"""Pure tensor functions: token plans, keep-ratio schedules, boxes to patch labels."""
