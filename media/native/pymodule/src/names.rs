//! The type aliases of `media/_native.pyi`, so that they exist at run time too.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

const ALIASES: [(&str, &[&str]); 4] = [
    ("Kind", &["audio", "video"]),
    ("Codec", &["opus", "vp8", "h264", "vp9", "av1"]),
    ("Profile", &["AEAD_AES_128_GCM", "AES128_CM_HMAC_SHA1_80"]),
    (
        "Extension",
        &[
            "mid",
            "rid",
            "repaired_rid",
            "audio_level",
            "abs_send_time",
            "twcc",
            "video_orientation",
            "playout_delay",
            "dependency_descriptor",
        ],
    ),
];

/// Add the aliases to the module.
pub fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let typing = py.import("typing")?;
    let literal = typing.getattr("Literal")?;
    let union = typing.getattr("Union")?;
    for (name, words) in ALIASES {
        let each: PyResult<Vec<_>> = words.iter().map(|w| literal.get_item(w)).collect();
        module.add(name, union.get_item(PyTuple::new(py, each?)?)?)?;
    }
    let any = typing.getattr("Any")?;
    let tuple = py.import("builtins")?.getattr("tuple")?;
    module.add("Event", tuple.get_item((any, py.Ellipsis()))?)
}
