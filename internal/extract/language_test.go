package extract

import "testing"

// TestEveryLanguage: sentences in every language that PostgreSQL has a text
// search configuration for, and in some that it has none for.
func TestEveryLanguage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ want, text string }{
		{"english", "The server makes a copy of the data at night, and the copy is kept for thirty days."},
		{"german", "Der Server legt in der Nacht eine Kopie der Daten an, und die Kopie wird dreißig Tage aufbewahrt."},
		{"french", "Le serveur fait une copie des données pendant la nuit, et la copie est gardée pour trente jours."},
		{"spanish", "El servidor hace una copia de los datos por la noche, y la copia se guarda durante treinta días, pero no más."},
		{"italian", "Il server fa una copia dei dati di notte, e la copia non è conservata per più di trenta giorni."},
		{"portuguese", "O servidor faz uma cópia dos dados à noite, e a cópia é guardada por trinta dias, mas não mais do que isso."},
		{"dutch", "De server maakt 's nachts een kopie van de gegevens, en het bestand wordt niet langer dan dertig dagen bewaard."},
		{"swedish", "Servern gör en kopia av data på natten, och kopian finns inte kvar när det har gått trettio dagar, för att spara plats."},
		{"danish", "Serveren laver en kopi af data om natten, og kopien bliver gemt i tredive dage, hvor den er til at finde hvad der end sker."},
		{"norwegian", "Serveren lager en kopi av data om natten, og kopien blir tatt vare på i tretti dager etter at den ble laget ved midnatt, når alt er stille, for å spare."},
		{"finnish", "Palvelin tekee yöllä kopion tiedoista, ja kopio on olemassa niin kauan kuin se on tarpeen, mutta ei yli kuukautta."},
		{"russian", "Сервер делает копию данных ночью, и копия не хранится больше, чем это нужно, но и не меньше, если так решили."},
		{"hungarian", "A szerver éjjel másolatot készít az adatokról, és a másolat nem marad meg, ha már nem kell, vagy ha lejárt."},
		{"romanian", "Serverul face o copie a datelor în timpul nopții, și copia este ținută pentru treizeci de zile, dar nu mai mult, din motive de spațiu."},
		{"turkish", "Sunucu gece verilerin bir kopyasını alır ve bu kopya otuz gün için saklanır, ama daha sonra her zaman silinir."},
		{"arabic", "ينسخ الخادم البيانات في الليل، ثم يحتفظ بها على القرص حتى نهاية الشهر، لا بعد ذلك، ما لم يكن هذا مطلوبا من المدير."},
		{"armenian", "Սերվերը գիշերը պատճենում է տվյալները և պահում դրանք երեսուն օր։"},
		{"basque", "Zerbitzariak gauez datuen kopia bat egiten du, eta kopia hori ez da hilabete baino gehiago gordetzen."},
		{"catalan", "El servidor fa una còpia de les dades a la nit, però la còpia no es guarda més de trenta dies, perquè els discos són plens."},
		{"greek", "Ο διακομιστής αντιγράφει τα δεδομένα τη νύχτα και τα κρατά για τριάντα ημέρες."},
		{"hindi", "सर्वर रात में डेटा की एक प्रति बनाता है और यह प्रति तीस दिन के लिए रखी जाती है।"},
		{"indonesian", "Server membuat salinan data pada malam hari, dan salinan itu tidak disimpan lebih dari tiga puluh hari di dalam arsip ini."},
		{"irish", "Déanann an freastalaí cóip de na sonraí san oíche, agus tá an chóip ar fáil go ceann míosa ach níl sé buan."},
		{"lithuanian", "Serveris naktį daro duomenų kopiją, ir ši kopija yra saugoma iki mėnesio, bet ne ilgiau, kaip buvo nutarta."},
		{"nepali", "सर्भरले राति डाटाको प्रतिलिपि बनाउँछ र यो प्रतिलिपि तीस दिनको लागि राखिएको हुन्छ, तर पनि सबै मेटिने छन्।"},
		{"serbian", "Сервер ноћу прави копију података и она се чува тридесет дана, али није увек све ту, као што би требало да је."},
		{"serbian", "Server noću pravi kopiju podataka i ona se čuva trideset dana, ali nije uvek sve tu, kao što je to nekad bilo."},
		{"tamil", "சேவையகம் இரவில் தரவின் நகலை எடுத்து முப்பது நாட்கள் வைத்திருக்கும்."},
		{"yiddish", "דער סערווער מאַכט אַ קאָפּיע פון די דאַטן ביי נאַכט, און די קאָפּיע איז ניט מער ווי דרייסיק טעג אויף דעם דיסק."},
		// Languages without a configuration.
		{"simple", "Сервер робить копію даних вночі, і вона зберігається не довше, ніж це потрібно, але й не менше, як було вирішено."},
		{"simple", "Сървърът прави копие на данните през нощта и то се пази тридесет дни, като след това ще бъде изтрито."},
		{"simple", "سرور در شب از داده\u200cها نسخه پشتیبان می\u200cگیرد و آن را به مدت سی روز نگه می\u200cدارد که این برای همه کافی است."},
		{"simple", "Serwer robi w nocy kopię danych i przechowuje ją przez trzydzieści dni, ale nie dłużej, niż to jest potrzebne."},
		{"simple", "Server v noci vytváří kopii dat a ta se uchovává třicet dní, ale ne déle, než je to od správce žádáno."},
		{"simple", "השרת יוצר עותק של הנתונים בלילה, ושומר אותו על הדיסק במשך שלושים יום."},
		{"simple", "服务器每天晚上备份数据，并将备份保存三十天。"},
		{"simple", "サーバーは毎晩データのコピーを作成し、三十日間保存します。"},
		{"simple", "เซิร์ฟเวอร์จะสำรองข้อมูลทุกคืนและเก็บไว้สามสิบวัน"},
		{"simple", "서버는 매일 밤 데이터를 복사하여 삼십 일 동안 보관합니다."},
		// Too short to be sure of.
		{"simple", "Backup job"},
		{"simple", "Datenbank"},
		// Most of the text decides.
		{"english", "The word for it is Sicherung, and the plural is Sicherungen, which is what you will see on the buttons: \"Sicherung und mehr\"."},
		{"german", "Der Knopf heißt „Back up the data“, und er ist nicht zu sehen, wenn sich niemand mit einem Konto angemeldet hat."},
		{"greek", "Αντίγραφα ασφαλείας"},
		{"english", "The angles α and β of the triangle are used in the proof that γ is not more than π."},
	} {
		if got := detectLanguage(c.text, "", proseShare); got != c.want {
			t.Errorf("%q is %s, want %s", c.text, got, c.want)
		}
	}
}

// TestStatedLanguage: what a document says of itself decides between two.
func TestStatedLanguage(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]language{
		"": languageNone, "en-GB": english, "DE": german, "nn": norwegian, "sr-Latn": serbian, "yi": yiddish, "uk": ukrainian, "bg": bulgarian, "zh": languageNone, "ja-JP": languageNone,
	} {
		if got := statedLanguage(tag); got != want {
			t.Errorf("%q is %d, want %d", tag, got, want)
		}
	}
}
