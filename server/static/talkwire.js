/* Talkwire browser client. Sources: 2d4ce25dc19db782294a3b9cb19eef6acbc4efda81092e636874a3a2157b918c */
var o="0.1.0";export{o as VERSION};
