//! The sections of PROTOCOL.md. The verdict of a failed check names the section whose rule was broken.

/// A section of PROTOCOL.md, of those that have rules for modules. [`Self::heading`] is its heading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Transport,
    Framing,
    Replies,
    HostToModule,
    ModuleToHost,
    Payload,
    Errors,
    Lifecycle,
}

impl Section {
    /// The heading, as in PROTOCOL.md.
    pub(super) fn heading(self) -> &'static str {
        match self {
            Self::Transport => "Transport",
            Self::Framing => "Framing",
            Self::Replies => "Requests and replies",
            Self::HostToModule => "Host to module",
            Self::ModuleToHost => "Module to host",
            Self::Payload => "Payload",
            Self::Errors => "Errors",
            Self::Lifecycle => "The course of a connection",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_section_is_in_the_document() {
        let document = include_str!("../../../protocol/PROTOCOL.md");
        for section in [
            Section::Transport,
            Section::Framing,
            Section::Replies,
            Section::HostToModule,
            Section::ModuleToHost,
            Section::Payload,
            Section::Errors,
            Section::Lifecycle,
        ] {
            let heading = section.heading();
            let is_there =
                document.lines().any(|line| line.starts_with('#') && line.trim_start_matches('#').trim() == heading);
            assert!(is_there, "PROTOCOL.md has no heading `{heading}`");
        }
    }
}
