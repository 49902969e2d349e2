// Writes tokenizer.json: what llama.cpp makes of many texts, by way of the npm package
// node-llama-cpp (its prebuilt library). See README.md for how to run it.
//
// node tokenizer.mjs smollm=MODEL.gguf llama-bpe=OTHER.gguf ... > tokenizer.json
// node tokenizer.mjs --few smollm=small-smollm.gguf ... > small.json
import {getLlama} from "node-llama-cpp";

const prose = [
  "", " ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", " \n ", "\u00a0", "\u3000", "\u2028", "\u0085", "\u200b", "\ufeff",
  "a", "user", " user", "Hello, world!", "Hello  world", "Hello   world  ", "  leading", "trailing   ", "tab\there", "\ttab\t\ttabs",
  "line\nline", "line\r\nline\r\n", "line\n\n\nline", "a \n b", "a\n  b\n    c\n", " \t \n \t x", "a\u00a0b", "a\u3000b\u2003c\u2009d",
  "a\u0085b\u2028c\u2029d", "zero\u200bwidth\u200djoin", "\ufeffbyte order mark", "vertical\u000btab\u000cform",
  "I'm", "you're", "they've", "he'll", "she'd", "it's", "don't", "I'M", "YOU'RE", "IT'S", "'s", " 's", "o'clock", "rock'n'roll",
  "’s it’s don’t", "'Tis the season's greetings' end'", "''''", "'ll'll", "ma'am'd've",
  "1", "12", "123", "1234", "12345", "3.14159", "1,000,000", "-42", "1e-9", "0xdeadbeef", "2024-02-29T23:59:60Z", "$1,299.99", "50%", "½ ¾ Ⅷ ① ٣ ४ ๕ 三",
  "1st 2nd 3rd", "v1.2.3-rc.4+build.567", "192.168.0.1:8080", "x2y3z4", "a 1  2   3", "007 ", " 7", "  77", "1  ", "1\n2\n",
  "camelCaseIdentifier", "snake_case_name", "SCREAMING_CASE", "kebab-case", "https://example.org/a/b?c=d&e=f#g", "me@example.org", "C:\\Users\\me\\file.txt", "/usr/local/bin",
  "!@#$%^&*()_+-=[]{}|;:'\",.<>/?`~", "...", "?!", "—–-", "“quoted”", "«guillemets»", "a+b=c", "x^2 ~ y|z", "<=>", "a<b>c", "$$$", "****", "____", "----", "== ==", "!!!\n\n\n", "?\r\n", ";\n\t}",
  "The quick brown fox jumps over the lazy dog.", "It was the best of times, it was the worst of times, it was the age of wisdom...",
  "antidisestablishmentarianism", "Pneumonoultramicroscopicsilicovolcanoconiosis", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "lollollollollol", "mmmmmmmm mmmm", "zzz ZZZ zZz",
];
const scripts = [
  "السلام عليكم ورحمة الله", "مَرْحَبًا بِالعَالَم", "١٢٣٤٥", "שלום עולם", "בְּרֵאשִׁית בָּרָא", "你好,世界!", "我喜歡學習繁體中文。", "今天天气怎么样?", "こんにちは世界", "カタカナとひらがな", "日本語のテキスト、です。", "ﾊﾝｶｸ",
  "안녕하세요 세계", "한국어 텍스트입니다.", "ᄒᆞᆫ글", "สวัสดีชาวโลก", "ภาษาไทยไม่มีช่องว่าง", "नमस्ते दुनिया", "हिन्दी में लिखा हुआ पाठ", "বাংলা ভাষা", "ਪੰਜਾਬੀ", "ગુજરાતી", "தமிழ் மொழி", "తెలుగు", "ಕನ್ನಡ", "മലയാളം", "සිංහල",
  "Привет, мир!", "Ещё ёлка; съешь же этих мягких французских булок", "Українська їжак", "Български", "Γειά σου Κόσμε", "ὁ λόγος ἦν πρὸς τὸν θεόν", "ሰላም ልዑል", "አማርኛ ፊደል", "Հայերեն", "ქართული ენა", "བོད་སྐད", "မြန်မာဘာသာ", "ភាសាខ្មែរ", "ພາສາລາວ", "Монгол ᠮᠣᠩᠭᠣᠯ", "ᏣᎳᎩ", "ⵜⴰⵎⴰⵣⵉⵖⵜ", "ᚠᚢᚦᚨᚱᚲ", "𐌰𐌱𐌲", "𓀀𓂀", "𒀀𒁀",
  "Ünïcödé", "naïve café résumé", "e\u0301 vs é", "a\u0308o\u0308u\u0308", "Z\u0351\u036b\u0343a\u0334\u0321lgo", "ﬁ ﬂ ligatures", "ＦＵＬＬＷＩＤＴＨ １２３", "ǅ ǈ ǋ", "İstanbul ı", "Straße ẞ", "Tiếng Việt", "Čeština žluťoučký kůň", "Polski żółć", "Magyar árvíztűrő", "Íslenska þæð", "Esperanto ĉŝĵ", "Yorùbá ọ̀", "ʻŌlelo Hawaiʻi",
  "mixed 中文 and English", "日本2024年", "مرحبا hello שלום", "कृपया 5 मिनट", "5мин", "3кг", "中1文2",
];
const symbols = [
  "😀", "😀😃😄", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇫🇷🇯🇵🇧🇷", "🧑🏿‍🚀 to the moon 🚀🚀", "❤️", "✔ ✗ ☃", "1️⃣ 2️⃣ #️⃣", "a😀b", " 😀 ", "😀\n", "🤷‍♀️?", "👁️‍🗨️", "\u{1fae0}",
  "∑∫∂√∞ ≠ ≤ ≥", "α+β=γ", "∀x∈ℝ: x²≥0", "$\\frac{a}{b}$", "→ ⇒ ↔", "♔♕♖", "┌─┐│└┘", "█▓▒░", "€ £ ¥ ₹ ₿ ¢", "© ® ™ § ¶", "° ′ ″", "²³¹⁄₄",
  "\u0000", "a\u0000b", "\u0001\u0002\u001f\u007f", "\u0080\u009f", "\ufffd", "\ufffd\ufffdbroken", "\uffff\ufffe", "\ue000\uf8ff", "\u{10ffff}", "\u{f0000}x", "\u00ad soft", "\u202eRTL\u202c", "\u2060\u2061", "Ã©â€™ mojibake", "ÿþ", "Ġhidden Ċ glyphs ĉ", "Ġ", "ĠĠ Ġa", "<0x0A>", "▁sentence▁piece",
];
const code = [
  "fn main() {\n    println!(\"Hello, {}!\", name);\n}\n", "let x: Vec<Option<&'static str>> = vec![None; 8];", "impl<T: Clone + 'a> Foo<'a, T> for Bar where T: Send {}",
  "def f(x, *args, **kw):\n    \"\"\"Doc.\"\"\"\n    return [i ** 2 for i in range(10) if i % 2 == 0]\n", "class A(B):\n\tdef __init__(self):\n\t\tself.x = {'k': 1}\n", "if __name__ == '__main__':\r\n    main()\r\n",
  "const f = async (x) => { await g(x?.y ?? 0); };", "for (let i = 0; i < n; i++) { a[i] += `${i}\\n`; }", "<div class=\"a b\" id='c'>text &amp; more</div>\n", "<!-- comment --><br/>", "body { margin: 0 auto; color: #ff00aa; }",
  "#include <stdio.h>\nint main(void) { return 0; }\n", "std::unordered_map<int, std::string> m{{1, \"a\"}};", "public static void main(String[] args) { }", "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"hi\") }\n",
  "SELECT * FROM t WHERE a = 'b' AND c <> 3 ORDER BY d DESC;", "#!/bin/sh\nset -eu\necho \"$HOME\" | grep -E '^/' >/dev/null 2>&1\n", "{\"a\":[1,2,{\"b\":null}],\"c\":true}", "key: value\n- item\n-   other: [a, b]\n", "[package]\nname = \"x\"\nversion = \"0.1.0\"\n",
  "pragma solidity ^0.8.24;\ncontract C { mapping(address => uint256) b; }", "main :: IO ()\nmain = mapM_ print [1..10]", "(defun f (x) (* x x))", "SUB  RSP, 28h ; 0x28", "a = b ? c : d; // note\n/* block\n comment */", "%timeit x@y", "\\begin{equation}\nE = mc^2\n\\end{equation}",
  "        deep indent\n            deeper\n", "if(a&&b||!c){return;}", "x=1;y=2;;", "0b1010_1100u8", "r#\"raw\"#", "@decorator\n", "diff --git a/x b/x\n@@ -1,2 +1,2 @@\n-old\n+new\n", "| a | b |\n|---|---|\n| 1 | 2 |\n", "# Title\n\n* one\n* two\n\n```rust\nlet a = 1;\n```\n", "0xAb5801a7D398351b8bE11C439e05C5B3259aeC9B",
];
const specials = [
  "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", "<|im_start|>", "<|im_end|>", "<|endoftext|>", " <|im_end|> ", "a<|im_end|>b", "<|im_end|><|im_end|>", "<|im_start|><|im_end|>x", "<|im_end", "<|im_end|", "im_end|>", "<|IM_END|>", "<| im_end |>",
  "<repo_name>a/b<file_sep>x.rs", "<reponame>", "<filename>x.py", "<gh_stars>100", "<issue_start>t<issue_comment>c<issue_closed>", "<jupyter_start><jupyter_text>t<jupyter_code>c<jupyter_output>o<jupyter_script>", "<empty_output>", "text\n<|endoftext|>\ntext", "  <|im_start|>  system  <|im_end|>  ",
  "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\n2+2 is 4.<|im_end|>\n", "<|<|im_end|>|>", "<s></s><unk>[INST]", "<|im_start|>1 2<|im_end|>34 's",
];

// Text no person would write: a fixed pseudo-random mix of pieces, so that the joints are met too.
let state = 20240229;
const next = (n) => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return Math.floor(state / 4294967296 * n); };
const pieces = ["a", "The", " the", "ing", "'s", "'re", "'", " ", "  ", "\t", "\n", "\r", "\r\n", "\u00a0", "\u2003", "1", "23", "456", "7890", "٣", "½", ".", ",", "!?", "--", "(", ")", "{\n", "}", "_", "$", "+", "~", "é", "e\u0301", "ß", "中", "文字", "한", "ש", "عر", "ไทย", "क्ष", "Ж", "ω", "😀", "👩‍👧", "🇫🇷", "\u200d", "\ufe0f", "\ufffd", "Q", "zx", "http", "://", "\\n", "\"", "#", "@", "Ġ", "ሰ", "\u0301", "\u0000"];
const mixed = Array.from({length: 260}, () => Array.from({length: 2 + next(14)}, () => pieces[next(pieces.length)]).join(""));
const joints = ["a", "1", ".", "中", "é", "😀"].flatMap((x) => ["b", "2", "!", "文", "\u0301", "'s"].map((y, i) => x + [" ", "  ", "\n", " \n", "\t", ""][(i + x.length) % 6] + y));
const long = ["word ".repeat(200), "x".repeat(700), " ".repeat(300) + "end", "\n".repeat(120), "1".repeat(200), "中".repeat(120), "ab12 ".repeat(100), "!".repeat(250), "😀".repeat(60), prose.join(" ")];

// What the small vocabulary is made for, and of the other texts the short ones it has tokens for.
const few = ["hello", " hello", "hello hello", "1234", "12345678", "1234567 1234", "a1234", "٣٤٥٦", "12.5", "112.55", "<x>", "<x><y>", "<x><y><x>", "y><x><y>", "<x><x><y>", "  a  b   c", "the  the   the", "...the!\n\n", "'s's", "aaaa aaaaa", "<unk>", "x<unk>12", "!\n\n\n", "()()", "\n\n\n 1", "$12+34=46~|", "12-34-56", "«12»", "1,234,567.89", "مم م"];
const all = [...prose, ...scripts, ...symbols, ...code, ...specials, ...mixed, ...joints, ...long];
const isFew = process.argv.includes("--few");
const chosen = isFew ? [...few, ...all.filter((text) => text.length <= 60 && /\d\d|the|\.\.|<[|a-z]/i.test(text))] : all;
const texts = [...new Set(chosen)];
const llama = await getLlama({gpu: false, build: "never", logLevel: "error"});
const golden = {llama_cpp: llama.llamaCppRelease.release, texts, ids: {}};
for (const argument of process.argv.slice(2).filter((argument) => argument.includes("="))) {
  const [pre, path] = argument.split("=");
  const model = await llama.loadModel({modelPath: path, vocabOnly: true});
  const plain = texts.map((text) => model.tokenize(text, false));
  // With special tokens parsed, only where that differs: index -> ids.
  const special = {};
  texts.forEach((text, i) => {
    const ids = model.tokenize(text, true);
    if (ids.join() !== plain[i].join()) special[i] = ids;
  });
  golden.ids[pre] = {plain, special};
}
const lines = (list) => "[\n" + list.map((item) => JSON.stringify(item)).join(",\n") + "\n]";
const vocabularies = Object.entries(golden.ids).map(([pre, {plain, special}]) =>
  `${JSON.stringify(pre)}: {"special": ${JSON.stringify(special)}, "plain": ${lines(plain)}}`);
process.stdout.write(`{"llama_cpp": ${JSON.stringify(golden.llama_cpp)},\n"texts": ${lines(texts)},\n"ids": {\n${vocabularies.join(",\n")}\n}}\n`);
process.exit(0);
