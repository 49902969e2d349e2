//! What a directory takes of its disk, and what that disk can do at best.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Seek, Write},
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};

/// As long as a small record of a log.
const RECORD_BYTES: usize = 512;
const AHEAD_BYTES: usize = 4 << 20;

/// Bytes of disk that the files below a directory take, holes left out.
///
/// # Errors
/// If it cannot be read.
pub fn bytes(directory: &Path) -> std::io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        sum += match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes(&entry.path())?,
            // In units of 512 bytes, whatever the file system's blocks are.
            Ok(metadata) => metadata.blocks() * 512,
            // Whoever writes there has just removed it.
            Err(error) if error.kind() == ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
    }
    Ok(sum)
}

/// How many records of 512 bytes a second, each synced, a file in this directory takes: where it
/// grows with each, and where its blocks are there and written already.
///
/// # Errors
/// If it cannot be written.
pub fn syncs_per_second(directory: &Path, length: Duration) -> std::io::Result<[f64; 2]> {
    let grown = syncs(&directory.join("syncs-grown"), length, 0)?;
    Ok([grown, syncs(&directory.join("syncs-ahead"), length, AHEAD_BYTES)?])
}

fn syncs(path: &Path, length: Duration, ahead_bytes: usize) -> std::io::Result<f64> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(&vec![0; ahead_bytes])?;
    file.sync_all()?;
    file.rewind()?;
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < length {
        if ahead_bytes > 0 && count % (ahead_bytes / RECORD_BYTES) == 0 {
            file.rewind()?;
        }
        file.write_all(&[0x56; RECORD_BYTES])?;
        file.sync_data()?;
        count += 1;
    }
    let rate = count as f64 / start.elapsed().as_secs_f64();
    fs::remove_file(path)?;
    Ok(rate)
}
