import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dale.models import MODELS, build, check_output

images = st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 12))


@settings(max_examples=25)
@given(st.sampled_from(sorted(MODELS)), images, st.integers(2, 7), st.integers(0, 99))
def test_any_image_gives_one_row_of_logits_alone_as_in_a_batch(
    name, shape, classes, seed
):
    torch.manual_seed(seed)
    small = {"mlp": {"hidden": (4,)}, "convnet": {"width": 4}, "resnet": {"depth": 8}}
    small["bottleneck"] = {"depth": 14, "width": 4}
    model = build(name, shape, classes, **small[name]).eval()
    check_output(model, shape, classes)
    x = torch.randn(3, *shape, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        whole, alone = model(x), torch.cat([model(row[None]) for row in x])
    assert torch.allclose(whole, alone, atol=1e-4)
