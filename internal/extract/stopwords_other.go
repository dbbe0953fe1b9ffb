package extract

import "unicode/utf8"

// otherWord returns more languages in which a lower-case word is among the most
// frequent, and those that alone have its script. Ukrainian and Bulgarian are
// known so that they are not taken for Russian, Polish so that it is not taken for
// English.
func otherWord(word string) languages {
	r, _ := utf8.DecodeRuneInString(word)
	switch {
	case r < 0x250:
		return otherLatinWord(word)
	case r >= 0x370 && r < 0x400, r >= 0x1f00 && r < 0x2000:
		return 1 << greek
	case r >= 0x400 && r < 0x530:
		return cyrillicWord(word)
	case r >= 0x530 && r < 0x590:
		return 1 << armenian
	case r >= 0xb80 && r < 0xc00:
		return 1 << tamil
	default:
		return easternWord(word)
	}
}

func otherLatinWord(word string) languages {
	switch word {
	case "eta", "du", "ez", "bat", "dira", "ere", "dute", "egin", "baina", "izan", "dago", "zen", "hori", "duen", "baino",
		"gehiago", "edo", "dituen", "bere", "behar", "daiteke", "dagoen":
		return 1 << basque
	case "amb", "és", "els", "aquest", "aquesta", "però", "també", "més", "són", "dels", "quan", "seva", "perquè", "hi", "pel",
		"sense", "aquests", "fins", "fer", "pot", "que", "de", "la", "les", "un", "una", "en", "per", "a", "no", "del", "el", "es", "ha":
		return 1 << catalan
	case "yang", "dan", "di", "untuk", "dengan", "ini", "dari", "dalam", "tidak", "pada", "adalah", "itu", "atau", "akan",
		"dapat", "oleh", "sebagai", "juga", "ke", "bisa", "karena", "harus", "setiap":
		return 1 << indonesian
	case "agus", "tá", "atá", "bhí", "sé", "sin", "seo", "ach", "nó", "chun", "faoi", "gach", "níl", "ag", "ar", "leis", "go",
		"raibh", "is", "an", "le", "mar":
		return 1 << irish
	case "ir", "yra", "kad", "bet", "kaip", "iš", "į", "ne", "nuo", "jis", "apie", "prie", "šis", "buvo", "gali", "arba", "taip",
		"jau", "dėl", "po", "už", "tai", "su", "būti", "kuri", "kurie", "turi":
		return 1 << lithuanian
	case "w", "się", "jest", "nie", "że", "oraz", "lub", "przez", "ale", "z", "do", "to", "jak", "dla", "są", "tym", "ze", "już", "tylko":
		return 1 << polish
	case "i", "na":
		return 1<<polish | 1<<catalan | 1<<irish
	case "od":
		return 1<<polish | 1<<serbian
	case "da":
		return 1<<basque | 1<<serbian
	case "je", "koji", "koja", "kao", "nije", "ili", "ali", "što", "sam", "ako", "biti", "može", "samo", "koje", "još", "sve":
		return 1 << serbian
	default:
		return 0
	}
}

func cyrillicWord(word string) languages {
	switch word {
	case "на", "за", "у":
		return 1<<serbian | 1<<ukrainian | 1<<bulgarian
	case "може":
		return 1<<serbian | 1<<ukrainian | 1<<bulgarian
	case "и", "се", "или", "то", "да", "са":
		return 1<<serbian | 1<<bulgarian
	case "не", "до", "по":
		return 1<<ukrainian | 1<<bulgarian
	case "је", "су", "од", "који", "која", "које", "као", "није", "али", "из", "би", "што", "бити", "још", "све", "мора":
		return 1 << serbian
	case "і", "що", "та", "як", "від", "це", "але", "він", "було", "які", "або", "з", "є", "бути", "під", "для", "в", "її", "також":
		return 1 << ukrainian
	case "е", "като", "че", "това", "със", "един", "бъде", "който", "ще", "при", "от", "с", "което", "има", "всички":
		return 1 << bulgarian
	default:
		return 0
	}
}

func easternWord(word string) languages {
	switch word {
	case "في", "على", "إلى", "أن", "التي", "الذي", "هذا", "هذه", "عن", "مع", "كان", "كانت", "أو", "بين", "بعد", "قد", "ذلك", "كل",
		"هو", "هي", "تم", "لم", "يتم", "عند", "قبل", "حتى", "يجب", "من", "لا", "ما":
		return 1 << arabic
	case "के", "का", "की", "में", "है", "और", "से", "पर", "यह", "हैं", "नहीं", "लिए", "कि", "था", "भी", "तो", "ने", "जाता", "होता", "वह":
		return 1 << hindi
	case "को", "एक":
		return 1<<hindi | 1<<nepali
	case "छ", "छन्", "मा", "र", "पनि", "भने", "गर्न", "यो", "हो", "हुन्छ", "लागि", "तथा", "गरेको", "थियो", "भएको", "हुन", "गर्नुपर्छ", "सबै", "प्रत्येक":
		return 1 << nepali
	case "די", "און", "איז", "אַז", "דער", "פֿון", "פון", "מיט", "ניט", "נישט", "וואָס", "אויך", "דאָס", "זיך", "אויף", "צו", "האָט", "ווי", "אין", "זייַן", "זײַן":
		return 1 << yiddish
	default:
		return 0
	}
}
