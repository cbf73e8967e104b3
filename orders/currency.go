package orders

import (
	"slices"
	"strings"
)

// currencies are the active codes of ISO 4217 that have a minor unit, which
// leaves out metals, units of account, and the codes for tests and for no
// currency. In alphabetical order.
//
// Source: list one as published on 2026-01-01 by the maintenance agency,
// https://www.six-group.com/en/products-services/financial-information/data-standards.html
var currencies = strings.Fields(`
	AED AFN ALL AMD AOA ARS AUD AWG AZN
	BAM BBD BDT BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD
	CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK
	DJF DKK DOP DZD
	EGP ERN ETB EUR
	FJD FKP
	GBP GEL GHS GIP GMD GNF GTQ GYD
	HKD HNL HTG HUF
	IDR ILS INR IQD IRR ISK
	JMD JOD JPY
	KES KGS KHR KMF KPW KRW KWD KYD KZT
	LAK LBP LKR LRD LSL LYD
	MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN
	NAD NGN NIO NOK NPR NZD
	OMR
	PAB PEN PGK PHP PKR PLN PYG
	QAR
	RON RSD RUB RWF
	SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL
	THB TJS TMT TND TOP TRY TTD TWD TZS
	UAH UGX USD USN UYI UYU UYW UZS
	VED VES VND VUV
	WST
	XAD XAF XCD XCG XOF XPF
	YER
	ZAR ZMW ZWG
`)

func isCurrency(code string) bool {
	_, known := slices.BinarySearch(currencies, code)
	return known
}
