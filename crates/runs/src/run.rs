//! One run: a file of sorted entries, of which the fences and the filter are in memory.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use vouch_journal::{Disk, File};

use crate::Entry;
use crate::filter::{BLOCK_WORDS, Filter};
use crate::format::{
    CHECKSUM_BYTES, Header, Layout, PAGE_BYTES, checked, checksum_start, decode_entries,
};

/// What is read or written at once when it is more than a page.
pub(crate) const CHUNK_BYTES: usize = 256 * 1024;
const CHUNK_PAGES: u64 = 64;

pub(crate) fn name(prefix: &str, number: u32) -> String {
    format!("{prefix}-{number:08}")
}

/// Clones share everything, the open file too: it can be read after its name was removed.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) number: u32,
    pub(crate) header: Header,
    pub(crate) file: Arc<RunFile>,
    /// The first key of each page.
    pub(crate) fences: Arc<[u64]>,
    /// `None` also if it is not kept: then each lookup reads a page.
    pub(crate) filter: Option<Arc<Filter>>,
}

impl Run {
    /// The filter is read only if the run has something at or above `keep_from`.
    pub(crate) fn open(
        disk: &dyn Disk,
        prefix: &str,
        number: u32,
        filtered: bool,
        keep_from: u64,
    ) -> io::Result<Self> {
        let file = RunFile::open(disk, prefix, number, false)?;
        let (header, layout) = file.header()?;
        if header.filtered != filtered {
            return Err(file.damaged("page 0 (header)", "with a filter or without, not as asked"));
        }
        let mut fences = vec![0; usize::try_from(layout.pages).map_err(io::Error::other)?];
        file.read_words("fences", layout.fences_at, layout.pages, fences.iter_mut())?;
        let mut filter = None;
        if filtered && header.newest >= keep_from {
            let blocks = usize::try_from(layout.blocks).map_err(io::Error::other)?;
            let words = layout.blocks.saturating_mul(BLOCK_WORDS);
            let filter = filter.insert(Filter::new(blocks));
            file.read_words("filter", layout.filter_at, words, filter.words_mut())?;
        }
        let (file, filter) = (Arc::new(file), filter.map(Arc::new));
        Ok(Self { number, header, file, fences: fences.into(), filter })
    }

    /// Adds the indexes at or above `from` of a key.
    pub(crate) fn get(&self, key: u64, from: u64, found: &mut Vec<u64>) -> io::Result<()> {
        let may = self.filter.as_ref().is_none_or(|filter| filter.may_contain(key));
        if self.header.newest < from || !may {
            return Ok(());
        }
        let first = Entry { key, index: from }.encode();
        let mut bytes = [0; PAGE_BYTES];
        for page in self.pages_of(key) {
            let entries = self.read_page(page, &mut bytes)?;
            let at = entries.partition_point(|entry| *entry < first);
            let after = entries.iter().skip(at).map(|entry| Entry::decode(*entry));
            found.extend(after.take_while(|entry| entry.key == key).map(|entry| entry.index));
        }
        Ok(())
    }

    /// The first index at or above `from` of a key.
    pub(crate) fn first(&self, key: u64, from: u64) -> io::Result<Option<u64>> {
        let may = self.filter.as_ref().is_none_or(|filter| filter.may_contain(key));
        if self.header.newest < from || !may {
            return Ok(None);
        }
        let first = Entry { key, index: from }.encode();
        let mut bytes = [0; PAGE_BYTES];
        // By halves to the first page that does not end before it.
        let mut pages = self.pages_of(key);
        let mut found = None;
        while !pages.is_empty() {
            let page = pages.start.midpoint(pages.end);
            let entries = self.read_page(page, &mut bytes)?;
            match entries.get(entries.partition_point(|entry| *entry < first)) {
                None => pages.start = page.saturating_add(1),
                Some(entry) => {
                    found = Some(Entry::decode(*entry));
                    pages.end = page;
                }
            }
        }
        Ok(found.filter(|entry| entry.key == key).map(|entry| entry.index))
    }

    /// Where a key may be: the page before the first one that begins with it may end with it.
    fn pages_of(&self, key: u64) -> Range<usize> {
        let start = self.fences.partition_point(|fence| *fence < key).saturating_sub(1);
        start..self.fences.partition_point(|fence| *fence <= key)
    }

    fn read_page<'a>(
        &self,
        page: usize,
        bytes: &'a mut [u8; PAGE_BYTES],
    ) -> io::Result<&'a [[u8; 16]]> {
        let page = u64::try_from(page).map_err(io::Error::other)?;
        self.file.read(bytes, Layout::page_at(page))?;
        self.entries_of(page, bytes)
    }

    pub(crate) fn entries(&self) -> Entries<'_> {
        Entries { run: self, page: 0, bytes: Vec::new(), entries: Vec::new(), at: 0 }
    }

    /// Those with an index at or above `least`.
    pub(crate) fn entries_above(&self, least: u64) -> impl Iterator<Item = io::Result<Entry>> {
        let is_meant = move |entry: &Entry| entry.index >= least;
        self.entries().filter(move |entry| entry.as_ref().map_or(true, is_meant))
    }

    /// How many those are; they are read where that can be fewer than all.
    pub(crate) fn count_above(&self, least: u64) -> io::Result<u64> {
        if least == 0 {
            return Ok(self.header.count);
        }
        let mut entries = self.entries_above(least);
        entries.try_fold(0_u64, |count, entry| entry.map(|_| count.saturating_add(1)))
    }

    fn entries_of<'a>(&self, page: u64, bytes: &'a [u8]) -> io::Result<&'a [[u8; 16]]> {
        let body = self.file.checked(bytes, Layout::page_at(page))?;
        let count = Layout::on_page(page, self.header.count);
        decode_entries(body, count).ok_or_else(|| {
            self.file.damaged(&format!("page {}", page.saturating_add(1)), "has another count")
        })
    }
}

/// All entries of a run in order, read in chunks. Ends with the first error.
#[derive(Debug)]
pub(crate) struct Entries<'a> {
    run: &'a Run,
    /// The next one to read.
    page: u64,
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    at: usize,
}

impl Entries<'_> {
    fn fill(&mut self) -> io::Result<()> {
        self.entries.clear();
        self.at = 0;
        let pages = u64::try_from(self.run.fences.len()).map_err(io::Error::other)?;
        let read = pages.saturating_sub(self.page).min(CHUNK_PAGES);
        let size = usize::try_from(read).map_err(io::Error::other)?.saturating_mul(PAGE_BYTES);
        self.bytes.resize(size, 0);
        self.run.file.read(&mut self.bytes, Layout::page_at(self.page))?;
        for bytes in self.bytes.chunks_exact(PAGE_BYTES) {
            let entries = self.run.entries_of(self.page, bytes)?;
            self.entries.extend(entries.iter().map(|entry| Entry::decode(*entry)));
            self.page = self.page.saturating_add(1);
        }
        Ok(())
    }
}

impl Iterator for Entries<'_> {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == self.entries.len()
            && let Err(error) = self.fill()
        {
            return Some(Err(error));
        }
        let entry = self.entries.get(self.at)?;
        self.at = self.at.saturating_add(1);
        Some(Ok(*entry))
    }
}

/// A run's file, with what its checksums and messages need.
#[derive(Debug)]
pub(crate) struct RunFile {
    pub(crate) file: Box<dyn File>,
    pub(crate) number: u32,
    /// For messages.
    path: String,
}

impl RunFile {
    pub(crate) fn open(
        disk: &dyn Disk,
        prefix: &str,
        number: u32,
        create: bool,
    ) -> io::Result<Self> {
        let name = name(prefix, number);
        let path = disk.path().join(&name).display().to_string();
        match disk.open(&name, create) {
            Ok(file) => Ok(Self { file, number, path }),
            Err(error) => Err(io::Error::new(error.kind(), format!("{path}: {error}"))),
        }
    }

    /// The header, once the file has the size that it tells.
    fn header(&self) -> io::Result<(Header, Layout)> {
        const PART: &str = "page 0 (header)";
        let mut bytes = [0; PAGE_BYTES];
        self.read(&mut bytes, 0)?;
        let header = Header::decode(self.checked(&bytes, 0)?)
            .ok_or_else(|| self.damaged(PART, "not a run, or one of another version"))?;
        let size = self.file.size().map_err(|error| self.failed(&error))?;
        match header.layout().filter(|layout| layout.size_bytes == size) {
            Some(layout) => Ok((header, layout)),
            None => Err(self.damaged(PART, &format!("not that of a file of {size} bytes"))),
        }
    }

    /// Fills the buffer.
    fn read(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let size = self.file.read_at(buffer, at).map_err(|error| self.failed(&error))?;
        if size == buffer.len() {
            return Ok(());
        }
        Err(self.damaged(&page_name(at), "the file ends before it does"))
    }

    /// Reads a part of `count` words and its checksum.
    fn read_words<'a>(
        &self,
        part: &str,
        at: u64,
        count: u64,
        mut words: impl Iterator<Item = &'a mut u64>,
    ) -> io::Result<()> {
        let mut checksum = checksum_start(self.number, at);
        let mut rest = usize::try_from(count.saturating_mul(8)).map_err(io::Error::other)?;
        let mut buffer = vec![0; rest.min(CHUNK_BYTES)];
        let mut offset = at;
        while rest > 0 {
            buffer.truncate(rest);
            self.read(&mut buffer, offset)?;
            checksum = crc32c::crc32c_append(checksum, &buffer);
            let (chunks, _) = buffer.as_chunks();
            for (bytes, word) in chunks.iter().zip(words.by_ref()) {
                *word = u64::from_be_bytes(*bytes);
            }
            rest = rest.saturating_sub(buffer.len());
            let size = u64::try_from(buffer.len()).map_err(io::Error::other)?;
            offset = offset.saturating_add(size);
        }
        let mut stored = [0; CHECKSUM_BYTES];
        self.read(&mut stored, offset)?;
        if checksum == u32::from_be_bytes(stored) {
            return Ok(());
        }
        Err(self.damaged(part, "the checksum does not match"))
    }

    /// The body of the page at `at`.
    fn checked<'a>(&self, page: &'a [u8], at: u64) -> io::Result<&'a [u8]> {
        checked(page, self.number, at)
            .ok_or_else(|| self.damaged(&page_name(at), "the checksum does not match"))
    }

    pub(crate) fn damaged(&self, part: &str, what: &str) -> io::Error {
        let path = &self.path;
        io::Error::new(io::ErrorKind::InvalidData, format!("{path}: {part}: {what}"))
    }

    /// A device's error, with the file's name.
    pub(crate) fn failed(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.path))
    }
}

/// The page of a file that byte `at` is on; the header is page 0.
fn page_name(at: u64) -> String {
    format!("page {}", at / 4096)
}
