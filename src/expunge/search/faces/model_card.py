"""What a model of facial expressions is for, and what it must not be used for: the text of its model card.

The law that is named: Regulation (EU) 2024/1689 (AI Act), Article 5(1)(f), applied since 2 February 2025, Article
50(3), and Annex III, point 1(c). The text is a reminder and no legal advice.
"""

from dataclasses import dataclass

from expunge.search.faces.london import ATTRIBUTION


@dataclass(frozen=True)
class IntendedUse:
    """The sections of a model card that say what a model is for; each is a list of sentences.

    Args:
        purpose: what the model does and is for.
        output: how its answer is to be read.
        never: uses that it must not be put to.
        law: what the law says of such systems.
        limits: what its figures do not show.
        data: attribution of the data it was trained or shown on; empty where there is nothing to attribute.
    """

    purpose: tuple[str, ...]
    output: tuple[str, ...]
    never: tuple[str, ...]
    law: tuple[str, ...]
    limits: tuple[str, ...]
    data: tuple[str, ...] = ()

    def markdown(self) -> str:
        """The sections as Markdown; a section without sentences is left out.

        >>> IntendedUse(("Research.",), (), (), (), ()).markdown()
        '## Purpose\\n\\n- Research.\\n'
        """
        sections = {
            "Purpose": self.purpose,
            "How to read its output": self.output,
            "Not for": self.never,
            "Law": self.law,
            "Limits": self.limits,
            "Data": self.data,
        }
        blocks = [f"## {title}\n\n" + "".join(f"- {line}\n" for line in lines) for title, lines in sections.items() if lines]
        return "\n".join(blocks)


INTENDED_USE = IntendedUse(
    purpose=(
        "Tells classes of facial expressions apart in pictures or short clips, for research on small networks and forgetting.",
        "Found with an EmoNAS-style search: the paper's own search space was not available, and no figure is the paper's.",
    ),
    output=(
        "An expression class: what a face looks like, as annotators would label it.",
        "Not an emotion felt. Faces do not show reliably what people feel, and classes differ between cultures and data sets.",
        "Scores are no probabilities outside the data they were measured on; a person must be able to object to them.",
    ),
    never=(
        "Inferring emotions of people at work or in education.",
        "Deciding on a person: hiring, marks, insurance, credit, police, borders, advertising.",
        "Watching people who do not know of it or have not agreed, and telling who somebody is.",
    ),
    law=(
        "In the European Union, Article 5(1)(f) of the AI Act forbids systems that infer emotions of people at the workplace "
        "and in education, except for medical or safety reasons; it has applied since 2 February 2025.",
        "Other systems for recognising emotions are high-risk (Annex III), and people who are exposed to one must be told.",
        "Faces are personal data, and where they serve to identify somebody biometric data: a legal ground is needed, and a "
        "request to be forgotten reaches the trained model too. This note is no legal advice.",
    ),
    limits=(
        "Figures are person-independent and pooled over folds; they do not carry over to other cameras, ages or skins.",
        "Synthetic micro-expressions are known motions put on still faces: they test a pipeline, and nothing else.",
        "Look at each class and each group of people, not at the accuracy alone: rare classes are told worst.",
    ),
    data=(ATTRIBUTION,),
)
