//! C2SP tlog-tiles: where a tile is, and which hashes it holds.

/// Hashes in a full tile.
pub const TILE_WIDTH: u64 = 256;
/// Bits of an index that one level of tiles spans.
pub const TILE_BITS: u32 = 8;

/// One tile of hashes, or of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tile {
    /// Level, 0 for leaf hashes; `None` for the entries themselves.
    pub level: Option<u8>,
    /// Place in its level.
    pub index: u64,
    /// Hashes in it, 1 to 256.
    pub width: u16,
}

impl Tile {
    /// The path below the log's prefix, such as `tile/0/x001/x234/067.p/8`.
    #[must_use]
    pub fn path(&self) -> String {
        let level = self.level.map_or_else(|| "entries".to_owned(), |level| level.to_string());
        let partial = if u64::from(self.width) == TILE_WIDTH {
            String::new()
        } else {
            format!(".p/{}", self.width)
        };
        format!("tile/{level}/{}{partial}", index_path(self.index))
    }

    /// Reads a path made by [`Self::path`]; `None` if it is none, or not in canonical form.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let level = match level {
            "entries" => None,
            // 64 bits of index are spanned by levels 0 to 7; tlog-tiles allows up to 63.
            _ => Some(level.parse().ok().filter(|level| *level < 64)?),
        };
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, width.parse().ok().filter(|w| (1..256).contains(w))?),
            None => (rest, 256),
        };
        let digits: String = index.split('/').map(|group| group.trim_start_matches('x')).collect();
        let tile = Self { level, index: digits.parse().ok()?, width };
        (tile.path() == path).then_some(tile)
    }

    /// All tiles of hashes and entries that a log of `size` must serve for that size, lowest first.
    pub fn of_size(size: u64) -> impl Iterator<Item = Self> {
        (0u8..8).flat_map(move |level| {
            let count = size.checked_shr(TILE_BITS.saturating_mul(u32::from(level))).unwrap_or(0);
            let levels = if level == 0 { vec![Some(0), None] } else { vec![Some(level)] };
            levels.into_iter().flat_map(move |level| Self::of_count(level, count))
        })
    }

    fn of_count(level: Option<u8>, count: u64) -> impl Iterator<Item = Self> {
        (0..count.div_ceil(TILE_WIDTH)).map(move |index| {
            let rest = count.saturating_sub(index.saturating_mul(TILE_WIDTH)).min(TILE_WIDTH);
            Self { level, index, width: u16::try_from(rest).unwrap_or(256) }
        })
    }
}

/// `1234067` as `x001/x234/067`.
fn index_path(index: u64) -> String {
    let mut path = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    path
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_tlog_tiles() {
        let tile = Tile { level: Some(0), index: 1_234_067, width: 256 };
        assert_eq!(tile.path(), "tile/0/x001/x234/067");
        assert_eq!(Tile { level: None, index: 5, width: 7 }.path(), "tile/entries/005.p/7");
    }

    #[test]
    fn odd_spellings_are_refused() {
        for path in [
            "tile/0/5",
            "tile/00/005",
            "tile/0/005.p/256",
            "tile/0/005.p/0",
            "tile/0/x005",
            "tile/0/000/005",
            "tile/64/000",
            "tile/0/../000",
            "tile/0/+05",
        ] {
            assert_eq!(Tile::parse(path), None, "{path}");
        }
    }

    #[test]
    fn a_log_of_70000_has_its_tiles() {
        let tiles: Vec<_> = Tile::of_size(70_000).collect();
        let count = |level| tiles.iter().filter(|tile| tile.level == level).count();
        assert_eq!((count(Some(0)), count(None), count(Some(1)), count(Some(2))), (274, 274, 2, 1));
        assert!(tiles.contains(&Tile { level: Some(1), index: 1, width: 17 }));
    }

    proptest! {
        #[test]
        fn paths_round_trip(level in prop::option::of(0u8..64), index: u64, width in 1u16..=256) {
            let tile = Tile { level, index, width };
            prop_assert_eq!(Tile::parse(&tile.path()), Some(tile));
        }
    }
}
