//! Short documents that differ, with a question that each answers.

use std::path::Path;

use vouch_benches::random::Random;

const PLACES: [&str; 16] = [
    "Corrigan Point",
    "Aldermoor",
    "Saint Vael",
    "Tarrow Bay",
    "Hollin Ridge",
    "Kestrel Island",
    "Norwick",
    "Ambergate",
    "Fennimore",
    "Cape Drost",
    "Lowen Marsh",
    "Quarry Hill",
    "Ester Falls",
    "Old Brandt",
    "Mirefield",
    "Sandhaven",
];
const PEOPLE: [&str; 16] = [
    "Ada Voss",
    "Ben Tarle",
    "Carla Nyman",
    "Dov Perrin",
    "Elsa Whitlock",
    "Fergus Amade",
    "Greta Holm",
    "Ivo Castellan",
    "Jun Sorel",
    "Karin Abt",
    "Leo Fontane",
    "Mara Quill",
    "Nils Ostrow",
    "Odile Renner",
    "Piet Vandal",
    "Rosa Inglis",
];
const THINGS: [&str; 20] = [
    "lighthouse",
    "grain mill",
    "observatory",
    "tram line",
    "salt works",
    "harbour crane",
    "glass furnace",
    "town archive",
    "botanical garden",
    "printing house",
    "rope walk",
    "water tower",
    "telegraph station",
    "dry dock",
    "brewery",
    "clock workshop",
    "paper mill",
    "railway bridge",
    "weather station",
    "stone quarry",
];
const EVENTS: [&str; 16] = [
    "was rebuilt after a fire",
    "ran at a loss",
    "hired forty apprentices",
    "changed its owner",
    "was lit by electricity for the first time",
    "lost its roof in a storm",
    "won a royal prize",
    "closed for the winter",
    "was measured anew",
    "doubled its output",
    "was flooded",
    "received a steam engine",
    "was opened to visitors",
    "began to keep daily records",
    "was sold at auction",
    "moved to the north shore",
];
pub(crate) struct Document {
    pub(crate) text: String,
    /// What it is about, in its own words.
    pub(crate) subject: String,
    pub(crate) question: String,
}

/// So many, the same on every run.
pub(crate) fn documents(count: usize) -> Vec<Document> {
    let mut random = Random(0xd0c5);
    (0..count).map(|at| document(&mut random, at)).collect()
}

fn document(random: &mut Random, at: usize) -> Document {
    let subject = format!("the {} at {}", random.pick(&THINGS), random.pick(&PLACES));
    let (person, event) = (random.pick(&PEOPLE), random.pick(&EVENTS));
    let (year, sum) = (1_700 + random.below(230), 100 + random.below(9_900));
    let text = format!(
        "# Record {at}\n\nIn {year} {subject} {event}. {person}, who was in charge of it, wrote that \
         {sum} crowns were spent.\n"
    );
    let question = format!("Who was in charge when {subject} {event} in {year}?");
    Document { text, subject, question }
}

/// One file each.
pub(crate) fn write(directory: &Path, documents: &[Document]) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    for (at, document) in documents.iter().enumerate() {
        std::fs::write(directory.join(format!("{at:05}.md")), &document.text)?;
    }
    Ok(())
}
