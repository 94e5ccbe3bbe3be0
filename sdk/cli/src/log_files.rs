//! The log in files. Lines are written to `ixt.jsonl`. Before a line that would make it too large, or the first line of a new day in UTC,
//! it is renamed to `ixt.TIME.jsonl`, and the oldest files beyond the limit are removed. The files are made for this user alone, because a
//! log may hold secrets.
//!
//! This is only the files: `run::log_output` reads the log, shows each record as a line, and calls [`LogFiles::write`] from a thread, since
//! writing blocks.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// The name of the file that lines are written to.
const CURRENT: &str = "ixt.jsonl";

/// The limits of the files: `[log]` in the host's file. By default 14 files of 64 MiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogFileLimits {
    /// The greatest size of a file in bytes. A longer line is written whole, alone in its file, so that 0 gives each line a file. A file
    /// that is larger already takes no more lines.
    pub(crate) bytes: u64,
    /// The greatest number of files, with the one that lines are written to; 0 counts as 1. Files beyond it are removed when a new one is
    /// begun, not at the start.
    pub(crate) files: usize,
}

impl Default for LogFileLimits {
    fn default() -> Self {
        Self { bytes: 64 * 1024 * 1024, files: 14 }
    }
}

/// The log's files in a directory: the open one, and the limits of all. If two hosts share a directory, one may go on with a file that the
/// other has renamed.
pub(crate) struct LogFiles {
    dir: PathBuf,
    limits: LogFileLimits,
    file: File,
    /// The day of its last line, in UTC; today for a new file.
    day: Date,
    /// Whether its last line has no end, because the disk was full or the host was killed.
    is_torn: bool,
}

impl LogFiles {
    /// Creates the directory and those above it, for this user alone, if they are missing, and opens the file. New lines are appended to
    /// those of an existing file, which becomes unreadable for other users; an existing directory stays as it is. Renames and removes
    /// nothing yet. Fails if the directory or the file can't be made, opened or looked at.
    pub(crate) fn open(dir: &Path, limits: LogFileLimits) -> anyhow::Result<Self> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.with_context(|| format!("can't make the directory {} for the log", dir.display()))?;
        let failed = || format!("can't write the log to {}", dir.display());
        let file = open(dir).with_context(failed)?;
        let written = file.metadata().and_then(|metadata| metadata.modified()).with_context(failed)?;
        let day = Timestamp::try_from(written).map_or_else(|_| today(), day_of);
        let is_torn = file.metadata().with_context(failed)?.len() > 0 && !ends_with_a_line(&dir.join(CURRENT));
        Ok(Self { dir: dir.to_owned(), limits, file, day, is_torn })
    }

    /// Writes a line; `line` has to end with a line end. Blocks while the disk does. If the file was removed meanwhile, a new one is made;
    /// if another program has renamed it, lines go on to it until it is full or the day is over.
    ///
    /// After an error the line may be missing or torn; or it is written, and only old files are left over, until the next file is begun.
    /// `line` is not tried again. Lines of later calls are whole, after the line end that the torn one lacks or an empty line.
    pub(crate) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let (mut metadata, day) = (self.file.metadata()?, today());
        if metadata.nlink() == 0 {
            // It has been removed. Lines in it would be lost.
            (self.file, self.is_torn) = (open(&self.dir)?, false);
            metadata = self.file.metadata()?;
        }
        let written = metadata.len();
        let is_full = written > 0 && (written + line.len() as u64 > self.limits.bytes || day != self.day);
        if is_full {
            self.begin_another()?;
        }
        self.day = day;
        if self.is_torn {
            self.file.write_all(b"\n")?;
        }
        self.is_torn = true;
        self.file.write_all(line)?;
        self.is_torn = false;
        if is_full { self.remove_oldest() } else { Ok(()) }
    }

    /// Renames the file to a name with the current time in UTC, or a later one if there is such a file, and opens a new one. After an error
    /// lines still go to the old file.
    fn begin_another(&mut self) -> io::Result<()> {
        let mut now = Timestamp::now();
        let path = |time: Timestamp| self.dir.join(format!("ixt.{}.jsonl", time.strftime("%Y-%m-%dT%H%M%S.%6fZ")));
        // A name that is taken is not used again.
        while path(now).try_exists()? {
            now += jiff::SignedDuration::from_micros(1);
        }
        let current = self.dir.join(CURRENT);
        match fs::rename(&current, path(now)) {
            // It has been moved already.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        (self.file, self.is_torn) = (open(&self.dir)?, false);
        Ok(())
    }

    /// Removes the oldest renamed files beyond the limit, by their names. Files with other names are left alone. Stops at the first one
    /// that can't be removed.
    fn remove_oldest(&self) -> io::Result<()> {
        let mut ended = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            ended.extend(name.into_string().ok().filter(|name| is_ended(name)));
        }
        ended.sort_unstable();
        for oldest in &ended[..(ended.len() + 1).saturating_sub(self.limits.files.max(1))] {
            match fs::remove_file(self.dir.join(oldest)) {
                // It has been removed already.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether a file is one that was renamed: `ixt.TIME.jsonl`, where the time begins with a day, `YYYY-MM-DD`. What follows the day is not
/// checked, and may be empty. Sorted by name, the oldest file is first.
fn is_ended(name: &str) -> bool {
    let time = name.strip_prefix("ixt.").and_then(|name| name.strip_suffix(".jsonl"));
    time.is_some_and(|time| time.get(..10).is_some_and(|day| day.parse::<Date>().is_ok()))
}

/// Opens the file that lines are written to, or creates it, and makes it unreadable for other users.
fn open(dir: &Path) -> io::Result<File> {
    let file = File::options().create(true).append(true).mode(0o600).open(dir.join(CURRENT))?;
    // A file that was there already may be readable for others.
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Whether the last byte of the file is a line end. False if the file is empty or can't be read.
fn ends_with_a_line(path: &Path) -> bool {
    use std::io::{Read as _, Seek as _, SeekFrom};

    let mut last = [0];
    let read = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)
    });
    read.is_ok() && last == *b"\n"
}

/// The current day in UTC.
fn today() -> Date {
    day_of(Timestamp::now())
}

fn day_of(time: Timestamp) -> Date {
    time.to_zoned(TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    /// The files, each with what it holds, from the oldest to the one that is written.
    fn content(dir: &Path) -> Vec<String> {
        let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| is_ended(name)).collect();
        names.sort();
        names.push(CURRENT.to_owned());
        names.into_iter().map(|name| fs::read_to_string(dir.join(name)).unwrap()).collect()
    }

    #[test]
    fn nobody_else_reads_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let there = dir.path().join(CURRENT);
        fs::write(&there, "before\n").unwrap();
        fs::set_permissions(&there, Permissions::from_mode(0o644)).unwrap();
        let mut files = LogFiles::open(dir.path(), LogFileLimits { bytes: 10, files: 9 }).unwrap();
        files.write(b"now\n").unwrap();
        files.write(b"then\n").unwrap();
        assert_eq!(content(dir.path()), ["before\n", "now\nthen\n"]);
        for file in fs::read_dir(dir.path()).unwrap() {
            assert_eq!(file.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn the_files_are_limited_by_size_and_number() {
        let dir = tempfile::tempdir().unwrap();
        for other in ["ixt.2026-01-02.jsonl", "ixt.log", "ixt.orders.jsonl"] {
            fs::write(dir.path().join(other), other).unwrap();
        }
        let mut files = LogFiles::open(dir.path(), LogFileLimits { bytes: 6, files: 3 }).unwrap();
        files.write(b"1\n").unwrap();
        files.write(b"22\n").unwrap();
        files.write(b"333\n").unwrap();
        assert_eq!(content(dir.path()), ["ixt.2026-01-02.jsonl", "1\n22\n", "333\n"]);
        // One that is too long has a file for itself.
        for line in ["a long line\n", "4\n", "5\n", "666\n"] {
            files.write(line.as_bytes()).unwrap();
        }
        assert_eq!(content(dir.path()), ["a long line\n", "4\n5\n", "666\n"]);
        for other in ["ixt.log", "ixt.orders.jsonl"] {
            assert_eq!(fs::read_to_string(dir.path().join(other)).unwrap(), other, "it is none of the log's");
        }
        drop(files);
        let mut one = LogFiles::open(dir.path(), LogFileLimits { bytes: 6, files: 1 }).unwrap();
        one.write(b"7777\n").unwrap();
        assert_eq!(content(dir.path()), ["7777\n"]);
    }

    #[test]
    fn each_day_begins_a_file_and_a_torn_line_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let there = dir.path().join(CURRENT);
        fs::write(&there, "yesterday\n").unwrap();
        let yesterday = SystemTime::now() - Duration::from_secs(24 * 60 * 60);
        File::options().write(true).open(&there).unwrap().set_modified(yesterday).unwrap();
        let mut files = LogFiles::open(dir.path(), LogFileLimits::default()).unwrap();
        files.write(b"today\n").unwrap();
        assert_eq!(content(dir.path()), ["yesterday\n", "today\n"]);
        files.day = files.day.yesterday().unwrap();
        files.write(b"the next day\n").unwrap();
        files.write(b"tor").unwrap();
        assert_eq!(content(dir.path()), ["yesterday\n", "today\n", "the next day\ntor"]);
        let mut files = LogFiles::open(dir.path(), LogFileLimits::default()).unwrap();
        files.write(b"whole\n").unwrap();
        assert_eq!(content(dir.path())[2], "the next day\ntor\nwhole\n");
        // A file that was removed is created again.
        fs::remove_file(&there).unwrap();
        files.write(b"more\n").unwrap();
        assert_eq!(fs::read_to_string(&there).unwrap(), "more\n");
    }
}
