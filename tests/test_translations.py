"""The rules for Chinese texts, on sentences that keep and break them."""

import pytest

from tests.translations import rules

GOOD = [
    "层数为 3 的网络使用 :func:`~dlcore.losses.cross_entropy`，其值为 :math:`x`。",
    "参见\\ :doc:`权重衰减 </auto_gallery/plot_weight_decay>`\\ 一章。",
    "参见\\ :doc:`/guide/notation`。",
    "这是\\ **权重衰减**\\ 的公式（见下文）：:math:`x^2`，即“平方”。",
    "**1.** 把 *λ* 增大为 10。",
    "当 p < 1 时，范数不再满足三角不等式；误差约为 1.5e-3。",
    "ReLU（修正线性单元）",
    "比值 0.5–2.0，共 8,358 项",
    "*先修知识：*\\ :doc:`多层感知机 </auto_gallery/x>`、矩阵乘积与链式法则。",
    "见 “ReLU” 一节",
]
BAD = {
    "层数为3 的网络": "no space",
    "使用ReLU 激活": "no space",
    "值为:math:`x`。": "no space",
    "参见 :doc:`权重衰减 <x>` 一章": "a space between Chinese characters",
    "这是 **权重衰减** 的公式": "a space between Chinese characters",
    "这是,公式": "half-width",
    "公式(见下文)": "half-width",
    "结束.": "half-width",
    "函数 ，值": "next to full-width",
    "函数， 值": "next to full-width",
    '叫做"平方"': "straight quotation",
    "两 个词": "a space between Chinese characters",
}


@pytest.mark.parametrize("text", GOOD[:-1])
def test_well_written_chinese_passes(text: str) -> None:
    assert list(rules.of_writing(text)) == []


@pytest.mark.parametrize(("text", "rule"), BAD.items())
def test_badly_written_chinese_is_found(text: str, rule: str) -> None:
    found = list(rules.of_writing(text))

    assert [fault for fault in found if rule in fault], found


@pytest.mark.parametrize(
    ("english", "chinese", "fault"),
    [
        ("The norm of :math:`x`.", "范数。", "lacks :math:`x`"),
        ("See ``dim``.", "见 ``dims``。", "lacks ``dim``"),
        ("See :doc:`norms <a>`.", "见\\ :doc:`范数 <b>`。", "lacks :doc:`a`"),
        ("{n} tests", "{m} 项测试", "lacks {n}"),
        ("See `here <https://a.org>`__.", "见\\ `此处 <https://b.org>`__。", "lacks https://a.org"),
        ("See :func:`f`.", "见 :func:`f`（即 f）。", "markup needs an escaped space before '（': :func:`f`"),
        ("See *f*.", "（见）*此处*。", "markup needs an escaped space after '）': *此处*"),
        ("Weight decay shrinks.", "权重收缩。", "'weight decay' is not translated as 权重衰减"),
    ],
)
def test_what_a_translation_loses_is_found(english: str, chinese: str, fault: str) -> None:
    assert fault in list(rules.faults(english, chinese))


def test_a_whole_translation_passes() -> None:
    english = "*Weight decay* shrinks :math:`w`; see :func:`~dlcore.optim.sgd_step` and :doc:`dropout </x>`."
    chinese = "*权重衰减*\\ 会缩小 :math:`w`；参见 :func:`~dlcore.optim.sgd_step` 与\\ :doc:`暂退法 </x>`。"

    assert list(rules.faults(english, chinese)) == []
