//! Writes the golden vectors: `cargo run -p vouch-core --example vectors`.

#[path = "generate.rs"]
mod generate;

fn main() -> std::io::Result<()> {
    let folder = generate::folder();
    std::fs::create_dir_all(&folder)?;
    for (name, text) in generate::files() {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(())
}
