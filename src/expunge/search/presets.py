"""Genotypes that others found and published, by name; all were searched on CIFAR-10 or ImageNet, with four nodes.

- darts-v1, darts-v2: H. Liu, K. Simonyan, Y. Yang. "DARTS: Differentiable Architecture Search", ICLR 2019, arXiv 1806.09055;
  first and second order, CIFAR-10. As written in github.com/quark0/darts, cnn/genotypes.py.
- pc-darts-cifar, pc-darts-imagenet: Y. Xu, L. Xie, X. Zhang, X. Chen, G.-J. Qi, Q. Tian, H. Xiong. "PC-DARTS: Partial Channel
  Connections for Memory-Efficient Architecture Search", ICLR 2020, arXiv 1907.05737. As in github.com/yuhuixu1993/PC-DARTS.
- gdas-v1: X. Dong, Y. Yang. "Searching for a Robust Neural Architecture in Four GPU Hours", CVPR 2019, arXiv 1910.04465. As in
  github.com/D-X-Y/AutoDL-Projects.
"""

from expunge.search.genotype import Gene, Genotype

_SHORT = {"max": "max_pool_3x3", "avg": "avg_pool_3x3", "skip": "skip_connect"}
_SHORT |= {f"{kind}{size}": f"{kind}_conv_{size}x{size}" for kind in ("sep", "dil") for size in (3, 5)}


def _cell(text: str) -> tuple[Gene, ...]:
    genes = [each.split("<") for each in text.replace("|", " ").split()]
    return tuple((_SHORT[name], int(source)) for name, source in genes)


PRESETS: dict[str, Genotype] = {
    "darts-v1": Genotype(
        _cell("sep3<1 sep3<0 | skip<0 sep3<1 | skip<0 sep3<1 | sep3<0 skip<2"),
        _cell("max<0 max<1 | skip<2 max<0 | max<0 skip<2 | skip<2 avg<0"),
    ),
    "darts-v2": Genotype(
        _cell("sep3<0 sep3<1 | sep3<0 sep3<1 | sep3<1 skip<0 | skip<0 dil3<2"),
        _cell("max<0 max<1 | skip<2 max<1 | max<0 skip<2 | skip<2 max<1"),
    ),
    "pc-darts-cifar": Genotype(
        _cell("sep3<1 skip<0 | sep3<0 dil3<1 | sep5<0 sep3<1 | avg<0 dil3<1"),
        _cell("sep5<1 max<0 | sep5<1 sep5<2 | sep3<0 sep3<3 | sep3<1 sep3<2"),
    ),
    "pc-darts-imagenet": Genotype(
        _cell("skip<1 sep3<0 | sep3<0 skip<1 | sep3<1 sep3<3 | sep3<1 dil5<4"),
        _cell("sep3<0 skip<1 | dil5<2 max<1 | sep3<2 sep3<1 | sep5<0 sep3<3"),
    ),
    "gdas-v1": Genotype(
        _cell("skip<0 skip<1 | skip<0 sep5<2 | sep3<3 skip<0 | sep5<4 sep3<3"),
        _cell("sep5<0 sep3<1 | sep5<2 sep5<1 | dil5<2 sep3<1 | sep5<0 sep5<1"),
    ),
}
