"""``text_visual``: does what a text says agree with what is labelled in the pictures beside it?

Three comparisons, which need no model. (1) A description is read for the taxonomy's classes (synonyms, kinds,
plurals), numerals, attribute values and negation, and each phrase is held against the labels. (2) Phrases linked
to boxes are held against the box's class and attributes. (3) Text read in regions is held against OCR, against
other readers and against the fields of a record.

Claims are judged with the closed world of the labels: what the rule set says is labelled wherever it is seen
(``labelled_classes``) is absent where it is not labelled. Phrases whose meaning depends on grammar that is not
read here (questions, alternatives, relative clauses) claim less, or nothing. The method is that of rule-based
caption metrics: matching parsed objects, attributes and counts as SPICE does (Anderson et al., ECCV 2016) and the
synonym lists of CHAIR (Rohrbach et al., EMNLP 2018); negation by its scope within the clause, as NegEx (Chapman
et al., 2001). Where the rule set asks for it, a noun that the taxonomy does not name is taken for the class that a
sentence model holds to be clearly nearest; findings about it say so and are no graver than the rule set allows.
"""

from __future__ import annotations

from services.alignment.meaning import Meanings
from services.alignment.region_ocr import ocr_findings
from services.alignment.region_text import region_text_findings, regions_of
from services.alignment.sample import CheckOutcome, CheckSample
from services.alignment.text_grounding import grounding_findings
from services.alignment.text_mentions import MentionReader
from services.alignment.text_tokens import looks_english
from services.alignment.text_visual_claims import Claims, dict_by_id
from services.alignment.text_visual_source import CHECK, Maker, sources_of, taxonomy_of
from services.alignment.visual_evidence import instances_of
from services.contracts.findings import Finding, NotApplicable
from services.rules.rule_set import RuleSet
from services.rules.text_visual import TextVisualRules
from services.taxonomy.lookup import TaxonomyIndex


def check_text_visual(sample: CheckSample, rules: RuleSet) -> CheckOutcome:
    """Compare the texts of a sample with its pictures' labels.

    Args:
        sample: The sample; texts come from text streams, summaries and caption fields.
        rules: The section ``text_visual`` holds the taxonomy and the tolerances.
    """
    section = rules.text_visual if rules.text_visual is not None else TextVisualRules()
    maker = Maker(rules, section)
    findings: list[Finding] = []
    folded: list[Finding] = []
    missing: list[NotApplicable] = []
    regions = regions_of(sample, section)
    findings.extend(region_text_findings(maker, sample, regions))
    read, unread = ocr_findings(maker, sample)
    findings.extend(read)
    missing.extend(unread)
    sources = list(sources_of(sample, section))
    taxonomy = taxonomy_of(sample, section)
    if not sources and not regions:
        missing.append(NotApplicable(check=CHECK, reason="the sample has no text that describes a picture"))
    if taxonomy is not None and not taxonomy.language.casefold().startswith("en"):
        reason = f"the taxonomy's names are in {taxonomy.language}; texts are read in English"
        return CheckOutcome(tuple(findings), (), (*missing, NotApplicable(check=CHECK, reason=reason)))
    index = TaxonomyIndex(taxonomy) if taxonomy is not None else None
    reader = None
    if index is not None:
        meanings, reason = _meanings(sample, section, index)
        if reason:
            missing.append(NotApplicable(check=CHECK, reason=reason))
        findings.extend(grounding_findings(maker, sample, index, MentionReader(index)))
        reader = MentionReader(index, meanings)
    for source in sources:
        streams = tuple(dict.fromkeys((source.stream, source.picture or source.stream)))
        if not looks_english(source.text, section.min_function_word_share):
            reason = f"the text of {source.stream} does not read like English"
            missing.append(NotApplicable(check=CHECK, reason=reason, streams=streams))
            continue
        instances = instances_of(sample, index, source.picture) if index is not None else ()
        if index is None or reader is None or not instances:
            reason = f"nothing is labelled in a picture, so what the text of {source.stream} says can not be judged"
            missing.append(NotApplicable(check=CHECK, reason=reason, streams=streams))
            continue
        shown, hidden = Claims(maker, index, reader, source, instances).findings()
        findings.extend(shown)
        folded.extend(hidden)
    return CheckOutcome(tuple(dict_by_id(findings)), tuple(dict_by_id(folded)), tuple(missing))


def _meanings(sample: CheckSample, section: TextVisualRules, index: TaxonomyIndex) -> tuple[Meanings | None, str]:
    """Return (what tells the meaning of unknown nouns, why there is none though the rule set asks for it)."""
    if section.meaning is None:
        return None, ""
    if section.taxonomy is None:
        return (
            None,
            "nouns are mapped by their meaning to a taxonomy, and text_visual.taxonomy of the rule set has none",
        )
    if sample.text_encoder is None:
        why = sample.unavailable.get("text_encoder", "no semantic model was given")
        return None, f"nouns that the taxonomy does not name were left alone: {why}"
    return Meanings(index, sample.text_encoder, section.meaning), ""
