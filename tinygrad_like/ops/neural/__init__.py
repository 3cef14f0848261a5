"""What layers are made of: convolution, pooling, norms, softmax, attention, recurrence."""
