"""Croissant metadata (mlcommons.org/croissant/1.0) of a run, written without the mlcroissant library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shards.files import write_json

CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def croissant(manifest: dict[str, Any]) -> dict[str, Any]:
    """The metadata as a JSON-LD dict: every shard a file with its sha256, one record set a member, joined by key."""
    shards = [file_object(shard) for shard in manifest["shards"]]
    codec = manifest["codec"]
    members = {"image": (codec, "sc:ImageObject"), "mask": ("mask.png", "sc:ImageObject"), "facts": ("json", "sc:Text")}
    title = manifest["title"] or f"Samples of {manifest['source'].get('name', '')}".strip()
    licence = {"license": manifest["licence"]} if manifest["licence"] else {}
    sets = [file_set(name, suffix, [shard["@id"] for shard in shards]) for name, (suffix, _) in members.items()]
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": slug(title),
        "description": f"Images with artifact masks; config hash {manifest['config_hash']}.",
        **licence,
        "url": "https://huggingface.co/datasets/" + slug(title),
        "version": f"{manifest['schema_version']}.0.0",
        "datePublished": "1970-01-01",  # fixed: equal runs give equal files
        "citeAs": title,
        "distribution": shards + (sets if shards else []),
        "recordSet": [record_set(name, kind) for name, (_, kind) in members.items()] if shards else [],
    }


def slug(title: str) -> str:
    """A title as a name that metadata readers accept."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in title).strip("-").lower() or "shards"


def file_object(shard: dict[str, Any]) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": shard["name"].replace("/", "-"),
        "name": shard["name"].replace("/", "-"),
        "contentUrl": shard["name"],
        "encodingFormat": "application/x-tar",
        "sha256": shard["sha256"],
    }


def file_set(name: str, suffix: str, shards: list[str]) -> dict[str, Any]:
    formats = {"webp": "image/webp", "png": "image/png", "jpg": "image/jpeg", "mask.png": "image/png"}
    pattern = f"[0-9][0-9][0-9][0-9][0-9]_[0-9][0-9][0-9][0-9][0-9].{suffix}"
    return {
        "@type": "cr:FileSet",
        "@id": f"{name}-files",
        "containedIn": [{"@id": shard} for shard in shards],
        "encodingFormat": formats.get(suffix, "application/json"),
        "includes": pattern,
    }


def record_set(name: str, kind: str) -> dict[str, Any]:
    """One record a file: the sample's key, cut from the file name, and the content."""
    files = {"@id": f"{name}-files"}
    key: dict[str, Any] = {"@type": "cr:Field", "@id": f"{name}/key", "name": "key", "dataType": "sc:Text"}
    key["source"] = {
        "fileSet": files,
        "extract": {"fileProperty": "filename"},
        "transform": {"regex": "^([0-9]+_[0-9]+)\\..*$"},
    }
    if name != "image":
        key["references"] = {"field": {"@id": "image/key"}}
    content = {"@type": "cr:Field", "@id": f"{name}/content", "name": "content", "dataType": kind}
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "key": {"@id": f"{name}/key"},
        "field": [key, {**content, "source": {"fileSet": files, "extract": {"fileProperty": "content"}}}],
    }


def write_croissant(out: Path, manifest: dict[str, Any]) -> None:
    """Write OUT/croissant.json. Raises OutputError."""
    write_json(out / "croissant.json", croissant(manifest))
