"""A first look: a Tensor, its gradient, and a small model in the plain training loop.

python examples/first_steps.py    # no download, a second or two
"""

import tinygrad_like as tg
from tinygrad_like import nn

x = tg.Tensor([1.0, 2.0, 3.0], requires_grad=True)
y = (x**2).sum()  # every op is recorded
y.backward()  # and differentiated, from the last to the first
print("the gradient of the sum of x^2 is 2x:", x.grad)

tg.seed(0)
train, test = tg.data.digits()  # 1,797 handwritten digits of 8 x 8 pixels
model = nn.Sequential(nn.Flatten(), nn.Dense(64, 32), nn.ReLU(), nn.Dense(32, 10))
optimizer = tg.optim.Adam(model.parameters(), lr=1e-2)
loader = tg.data.DataLoader(train, batch_size=64, shuffle=True)
for epoch in range(10):
    for images, labels in loader:
        loss = tg.losses.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch + 1}: loss {loss.item():.4f}")

images, labels = test.arrays
right = model(images).argmax(axis=1).numpy() == labels
print(f"{right.mean():.1%} of the test digits are right; mnist.py goes on from here")
