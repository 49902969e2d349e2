//! Writes a run from entries in order, and puts the entries of several runs in order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::io;
use std::sync::Arc;

use vouch_journal::Disk;

use crate::Entry;
use crate::filter::Filter;
use crate::format::{Header, Layout, PAGE_BYTES, PAGE_ENTRIES, checksum_start, encode_entries};
use crate::run::{CHUNK_BYTES, Run, RunFile};

/// Writes a file over what there is of this name, and syncs it; its name is the caller's to sync.
/// The entries are in order, and as many as the header says.
pub(crate) fn write(
    disk: &dyn Disk,
    prefix: &str,
    number: u32,
    header: Header,
    mut entries: impl Iterator<Item = io::Result<Entry>>,
) -> io::Result<Run> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "not as many entries as told");
    let Layout { pages, blocks, size_bytes, .. } = header.layout().ok_or_else(invalid)?;
    let mut fences = Vec::with_capacity(usize::try_from(pages).map_err(io::Error::other)?);
    let mut filter = match header.filtered {
        true => Some(Filter::new(usize::try_from(blocks).map_err(io::Error::other)?)),
        false => None,
    };
    let mut output = Output::create(RunFile::open(disk, prefix, number, true)?)?;
    output.page(&header.encode())?;
    let (mut page, mut count) = (Vec::with_capacity(PAGE_ENTRIES), 0_u64);
    loop {
        page.clear();
        for entry in entries.by_ref().take(PAGE_ENTRIES) {
            page.push(entry?);
        }
        let Some(Entry { key, .. }) = page.first() else { break };
        fences.push(*key);
        if let Some(filter) = &mut filter {
            page.iter().for_each(|entry| filter.insert(entry.key));
        }
        count = count.saturating_add(u64::try_from(page.len()).unwrap_or(u64::MAX));
        output.page(&encode_entries(&page))?;
    }
    output.words(fences.iter().copied())?;
    if let Some(filter) = &filter {
        output.words(filter.words())?;
    }
    if (count, output.place()) != (header.count, size_bytes) {
        return Err(invalid());
    }
    let file = Arc::new(output.finish()?);
    Ok(Run { number, header, file, fences: fences.into(), filter: filter.map(Arc::new) })
}

/// A file that is written from its start, in chunks.
struct Output {
    file: RunFile,
    buffer: Vec<u8>,
    /// Where the buffer goes.
    written: u64,
}

impl Output {
    fn create(file: RunFile) -> io::Result<Self> {
        file.file.set_size(0).map_err(|error| file.failed(&error))?;
        Ok(Self { file, buffer: Vec::with_capacity(CHUNK_BYTES), written: 0 })
    }

    fn place(&self) -> u64 {
        self.written.saturating_add(u64::try_from(self.buffer.len()).unwrap_or(u64::MAX))
    }

    /// A page of this body, with zeros behind it and the checksum before.
    fn page(&mut self, body: &[u8]) -> io::Result<()> {
        let mut page = [0; PAGE_BYTES];
        let (checksum, rest) = page.split_at_mut(4);
        rest.iter_mut().zip(body).for_each(|(to, from)| *to = *from);
        let start = checksum_start(self.file.number, self.place());
        checksum.copy_from_slice(&crc32c::crc32c_append(start, rest).to_be_bytes());
        self.bytes(&page)
    }

    /// A part of these words, with the checksum behind it.
    fn words(&mut self, words: impl Iterator<Item = u64>) -> io::Result<()> {
        let mut checksum = checksum_start(self.file.number, self.place());
        for word in words {
            let bytes = word.to_be_bytes();
            checksum = crc32c::crc32c_append(checksum, &bytes);
            self.bytes(&bytes)?;
        }
        self.bytes(&checksum.to_be_bytes())
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        let RunFile { file, .. } = &self.file;
        let written = file.write_all_at(&self.buffer, self.written);
        written.map_err(|error| self.file.failed(&error))?;
        self.written = self.place();
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<RunFile> {
        self.flush()?;
        self.file.file.sync().map_err(|error| self.file.failed(&error))?;
        Ok(self.file)
    }
}

type Source<'a> = Box<dyn Iterator<Item = io::Result<Entry>> + 'a>;

/// The entries of sorted sources, in order.
pub(crate) struct Merge<'a> {
    sources: Vec<Source<'a>>,
    /// The next entry of each source that has one, and which it is.
    next: BinaryHeap<Reverse<(Entry, usize)>>,
}

impl<'a> Merge<'a> {
    pub(crate) fn new(mut sources: Vec<Source<'a>>) -> io::Result<Self> {
        let mut next = BinaryHeap::new();
        for (number, source) in sources.iter_mut().enumerate() {
            if let Some(entry) = source.next() {
                next.push(Reverse((entry?, number)));
            }
        }
        Ok(Self { sources, next })
    }
}

impl Iterator for Merge<'_> {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut top = self.next.peek_mut()?;
        let Reverse((entry, number)) = *top;
        match self.sources.get_mut(number).and_then(Iterator::next) {
            Some(Ok(next)) => *top = Reverse((next, number)),
            Some(Err(error)) => return Some(Err(error)),
            None => drop(PeekMut::pop(top)),
        }
        Some(Ok(entry))
    }
}
