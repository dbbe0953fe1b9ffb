package extract

import "math/bits"

// language is a natural language.
type language uint8

const (
	languageNone language = iota
	english
	german
	french
	spanish
	italian
	portuguese
	dutch
	swedish
	danish
	norwegian
	finnish
	russian
	hungarian
	romanian
	turkish
	arabic
	armenian
	basque
	catalan
	greek
	hindi
	indonesian
	irish
	lithuanian
	nepali
	serbian
	tamil
	yiddish
	// PostgreSQL has no configuration for these.
	ukrainian
	bulgarian
	polish
	languageCount
)

// languages is a set of languages.
type languages uint32

func (s languages) lowest() language {
	return language(bits.TrailingZeros32(uint32(s))) //nolint:gosec // below 32
}

// String returns the name of the text search configuration.
func (l language) String() string {
	names := [...]string{
		simple, "english", "german", "french", "spanish", "italian", "portuguese", "dutch", "swedish", "danish", "norwegian",
		"finnish", "russian", "hungarian", "romanian", "turkish", "arabic", "armenian", "basque", "catalan", "greek", "hindi",
		"indonesian", "irish", "lithuanian", "nepali", "serbian", "tamil", "yiddish",
	}
	if int(l) < len(names) {
		return names[l]
	}
	return simple
}

// stopWord returns the languages in which a lower-case word is among the most frequent.
func stopWord(word string) languages {
	switch word {
	case "the", "and", "to", "that", "it", "with", "was", "be", "are", "this", "by", "not", "or", "from", "have",
		"which", "you", "can", "if", "will", "has", "but", "its", "they", "may", "when", "used", "all", "been",
		"there", "such", "into", "their", "must", "should", "these", "would", "more", "see", "then", "each",
		"only", "than", "other", "about", "what", "how", "does", "we", "your", "my", "he", "out", "up", "use", "using", "where", "while", "between", "same", "because", "set":
		return 1 << english
	case "und", "von", "zu", "mit", "sich", "auf", "für", "ist", "im", "nicht", "ein", "eine", "auch", "werden", "aus",
		"hat", "dass", "sie", "nach", "wird", "bei", "einer", "am", "sind", "noch", "wie", "einem", "über", "einen",
		"zum", "war", "haben", "nur", "oder", "aber", "vor", "zur", "bis", "mehr", "durch", "kann", "wenn", "wurde",
		"kein":
		return 1 << german
	case "les", "une", "est", "pour", "qui", "dans", "par", "plus", "pas", "sur", "sont", "avec", "aux", "cette", "ces",
		"être", "comme", "tout", "nous", "sa", "fait", "été", "aussi", "leur", "bien", "peut", "elle", "vous", "dont",
		"même":
		return 1 << french
	case "y", "los", "las", "su", "más", "pero", "sus", "sí", "porque", "esta", "entre", "cuando", "muy", "sobre",
		"también", "hasta", "hay", "donde", "quien", "desde", "todo", "durante", "puede":
		return 1 << spanish
	case "di", "che", "per", "è", "sono", "non", "come", "dei", "nel", "più", "della", "ma", "anche", "gli", "delle",
		"dal", "questo", "questa", "nella", "essere", "stato", "può", "tra", "cui":
		return 1 << italian
	case "em", "é", "com", "não", "uma", "na", "dos", "mas", "foi", "ao", "ele", "tem", "à", "seu", "sua", "muito",
		"há", "já", "está", "eu", "também", "só", "pelo", "pela", "até", "isso", "são", "você":
		return 1 << portuguese
	case "het", "een", "dat", "te", "voor", "met", "zijn", "niet", "aan", "ook", "dan", "maar", "bij", "uit", "nog",
		"naar", "door", "ze", "deze", "wordt", "hebben", "werd", "wel", "zo", "moet", "tot", "worden", "heeft", "geen":
		return 1 << dutch
	case "och", "att", "är", "för", "till", "inte", "ett", "jag", "från", "ska", "när", "denna", "här", "också",
		"finns", "hade", "bara", "vid":
		return 1 << swedish
	case "af", "mig", "min", "havde", "ham", "ud", "hans", "hvor", "hvad", "selv":
		return 1 << danish
	case "å", "jeg", "seg", "hadde", "ble", "etter", "ved", "bli", "noe", "når", "dette", "blir":
		return 1 << norwegian
	case "ja", "ei", "että", "hän", "oli", "joka", "mutta", "ovat", "sen", "kun", "niin", "myös", "kuin", "jos", "tai",
		"olla", "sekä", "voi", "jotka", "ole", "tämä", "vain", "mukaan", "jo", "nyt", "siitä", "sitä", "mitä":
		return 1 << finnish
	case "и", "в", "не", "на", "я", "что", "он", "с", "как", "это", "по", "но", "они", "к", "у", "ты", "из", "мы", "за",
		"вы", "так", "же", "от", "для", "о", "был", "при", "его", "или", "бы", "до", "если", "может", "только", "все",
		"она", "когда", "еще", "уже", "их", "есть", "этого":
		return 1 << russian
	case "az", "és", "hogy", "nem", "egy", "ez", "meg", "már", "csak", "volt", "mint", "vagy", "még", "azt", "ezt",
		"minden", "lehet", "kell", "ami", "nagyon", "akkor", "után":
		return 1 << hungarian
	case "și", "în", "cu", "pe", "care", "din", "că", "pentru", "mai", "sau", "sunt", "prin", "fost", "lui", "ca",
		"dar", "fi", "cele", "acest", "această", "când", "poate":
		return 1 << romanian
	case "ve", "bir", "bu", "için", "ile", "olarak", "daha", "çok", "gibi", "olan", "kadar", "sonra", "ama", "veya",
		"değil", "ise", "her", "olduğu", "tarafından", "göre", "hem":
		return 1 << turkish
	default:
		return sharedWord(word)
	}
}

// sharedWord knows the words of several languages.
func sharedWord(word string) languages {
	switch word {
	case "so", "an":
		return 1<<english | 1<<german
	case "in":
		return 1<<english | 1<<german | 1<<italian | 1<<dutch
	case "a":
		return 1<<english | 1<<french | 1<<spanish | 1<<italian | 1<<portuguese | 1<<hungarian | 1<<romanian
	case "on":
		return 1<<english | 1<<french | 1<<finnish
	case "no":
		return 1<<english | 1<<spanish | 1<<portuguese
	case "i":
		return 1<<english | 1<<italian | 1<<swedish | 1<<danish | 1<<norwegian
	case "do", "as":
		return 1<<english | 1<<portuguese
	case "of":
		return 1<<english | 1<<dutch
	case "is":
		return 1<<english | 1<<dutch | 1<<hungarian
	case "for", "at":
		return 1<<english | 1<<danish | 1<<norwegian
	case "des":
		return 1<<german | 1<<french
	case "es":
		return 1<<german | 1<<spanish
	case "das", "um":
		return 1<<german | 1<<portuguese
	case "die", "als":
		return 1<<german | 1<<dutch
	case "er":
		return 1<<german | 1<<dutch | 1<<danish | 1<<norwegian
	case "man":
		return 1<<german | 1<<swedish | 1<<danish
	case "den":
		return 1<<german | 1<<swedish | 1<<danish | 1<<norwegian
	case "der", "dem":
		return 1<<german | 1<<danish
	case "son":
		return 1<<french | 1<<spanish
	case "le":
		return 1<<french | 1<<spanish | 1<<italian
	case "se":
		return 1<<french | 1<<spanish | 1<<italian | 1<<portuguese | 1<<finnish | 1<<romanian
	case "la", "un":
		return 1<<french | 1<<spanish | 1<<italian | 1<<romanian
	case "que":
		return 1<<french | 1<<spanish | 1<<portuguese
	case "de":
		return 1<<french | 1<<spanish | 1<<portuguese | 1<<dutch | 1<<swedish | 1<<danish | 1<<norwegian | 1<<hungarian | 1<<romanian | 1<<turkish
	case "en":
		return 1<<french | 1<<spanish | 1<<dutch | 1<<swedish | 1<<danish | 1<<norwegian | 1<<turkish
	case "il", "si":
		return 1<<french | 1<<italian
	case "ou", "mais":
		return 1<<french | 1<<portuguese
	default:
		return moreSharedWords(word)
	}
}

// moreSharedWords knows the rest of them.
func moreSharedWords(word string) languages {
	switch word {
	case "du":
		return 1<<french | 1<<danish
	case "et":
		return 1<<french | 1<<danish | 1<<norwegian
	case "ne":
		return 1<<french | 1<<finnish | 1<<turkish
	case "au", "ce":
		return 1<<french | 1<<romanian
	case "del", "con", "una", "lo":
		return 1<<spanish | 1<<italian
	case "o":
		return 1<<spanish | 1<<italian | 1<<portuguese | 1<<romanian
	case "al":
		return 1<<spanish | 1<<italian | 1<<dutch
	case "por", "para", "como", "nos", "ser":
		return 1<<spanish | 1<<portuguese
	case "sin":
		return 1<<spanish | 1<<danish
	case "el":
		return 1<<spanish | 1<<hungarian
	case "este":
		return 1<<spanish | 1<<romanian
	case "ya":
		return 1<<spanish | 1<<turkish
	case "e", "quando":
		return 1<<italian | 1<<portuguese
	case "da":
		return 1<<italian | 1<<portuguese | 1<<danish | 1<<norwegian | 1<<turkish
	case "alla":
		return 1<<italian | 1<<swedish
	case "ha":
		return 1<<italian | 1<<hungarian
	case "os":
		return 1<<portuguese | 1<<danish
	case "om", "kan":
		return 1<<dutch | 1<<swedish | 1<<danish | 1<<norwegian
	case "op", "over":
		return 1<<dutch | 1<<danish
	case "van":
		return 1<<dutch | 1<<hungarian
	case "sig", "efter":
		return 1<<swedish | 1<<danish
	case "det", "som", "på", "med", "han", "har", "men", "vi", "eller":
		return 1<<swedish | 1<<danish | 1<<norwegian
	case "var":
		return 1<<swedish | 1<<danish | 1<<norwegian | 1<<turkish
	case "av", "så", "mot":
		return 1<<swedish | 1<<norwegian
	case "og", "til", "ikke", "hun", "fra", "skal", "også", "være":
		return 1<<danish | 1<<norwegian
	case "nu":
		return 1<<danish | 1<<romanian
	case "ki":
		return 1<<hungarian | 1<<turkish
	default:
		return 0
	}
}
