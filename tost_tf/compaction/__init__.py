"""What a fixed mask makes dead is removed for good: a smaller dense model that computes the same."""
